// an array that grows
export default function handle(input) {
  const a = []
  for (;;) a.push(a.length)
}
