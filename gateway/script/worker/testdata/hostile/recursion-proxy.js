// proxies of proxies, 100,000 deep
export default function handle(input) {
  let p = {}
  for (let i = 0; i < 1e5; i++) p = new Proxy(p, {})
  return { events: [{ selector: String(p.x), payload: p }] }
}
