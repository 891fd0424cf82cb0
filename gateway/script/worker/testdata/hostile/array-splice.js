// splice in the middle, for ever
export default function handle(input) {
  const a = new Array(1e6).fill(0)
  for (;;) a.splice(5e5, 1, 1, 2)
}
