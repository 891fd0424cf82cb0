// a proxy, thrown, that hangs when looked at
export default function handle(input) {
  throw new Proxy(new Error('x'), { get() { for (;;); }, getPrototypeOf() { for (;;); }, ownKeys() { for (;;); } })
}
