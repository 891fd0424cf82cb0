// a proxy with a million keys, each time
export default function handle(input) {
  const p = new Proxy({}, { ownKeys: () => Array.from({ length: 1e6 }, (_, i) => 'k' + i) })
  for (;;) Reflect.ownKeys(p)
}
