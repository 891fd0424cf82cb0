// a Map that grows while it is walked
export default function handle(input) {
  const m = new Map([[0, 0]])
  for (const [k] of m) { m.delete(k); m.set(k + 1, 0) }
}
