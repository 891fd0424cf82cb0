// toJSON of a payload that hangs
export default function handle(input) {
  return { events: [{ selector: 's', payload: { toJSON() { for (;;); } } }] }
}
