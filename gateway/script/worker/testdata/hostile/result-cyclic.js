// a payload that contains itself
export default function handle(input) {
  const a = { list: [] }
  a.list.push(a)
  return { events: [{ selector: 's', payload: a }] }
}
