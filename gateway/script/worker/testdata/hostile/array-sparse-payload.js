// a sparse array as payload
export default function handle(input) {
  const a = []
  a[4294967294] = 1
  return { events: [{ selector: 's', payload: a }] }
}
