// a query of a million fields, sorted
export default function handle(input) {
  const p = new URLSearchParams('a=1&'.repeat(1e6))
  for (;;) { p.sort(); p.toString() }
}
