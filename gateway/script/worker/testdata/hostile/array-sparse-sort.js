// sort of a sparse array
export default function handle(input) {
  const a = []
  a[4294967294] = 1
  a.sort()
}
