// sort within its own comparison
export default function handle(input) {
  const a = Array.from({ length: 100 }, (_, i) => -i)
  const c = (x, y) => { a.slice().sort(c); return x - y }
  a.sort(c)
}
