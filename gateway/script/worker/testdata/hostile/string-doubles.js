// a string that doubles
export default function handle(input) {
  let s = 'x'
  for (;;) s += s
}
