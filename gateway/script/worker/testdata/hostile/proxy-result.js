// a proxy as result that hangs when read
export default function handle(input) {
  return new Proxy({}, { get() { for (;;); } })
}
