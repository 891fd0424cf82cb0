// arrays that grow together
export default function handle(input) {
  const a = []
  for (;;) a.push(new Array(1e6).fill(a))
}
