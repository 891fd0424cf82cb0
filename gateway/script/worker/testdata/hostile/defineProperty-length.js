// the length of an array, set and unset
export default function handle(input) {
  const a = []
  for (;;) { a.length = 4294967295; a.length = 0 }
}
