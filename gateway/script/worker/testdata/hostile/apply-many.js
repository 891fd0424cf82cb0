// apply with a million arguments
export default function handle(input) {
  const a = new Array(1e6).fill(1)
  for (;;) Math.max.apply(null, a)
}
