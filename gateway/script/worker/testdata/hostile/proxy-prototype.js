// a proxy that is its own prototype's proxy
export default function handle(input) {
  const a = {}
  const p = new Proxy(a, {})
  Object.setPrototypeOf(a, p)
  a.missing
}
