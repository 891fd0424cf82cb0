// each of ten thousand events has the whole body in a new object
export default function handle(input) {
  return { events: Array.from({ length: 1e4 }, () => ({ selector: 's', payload: { again: [input.rawBody] } })) }
}
