// the prototypes frozen, and then a result
export default function handle(input) {
  Object.freeze(Object.prototype)
  Object.freeze(Array.prototype)
  return { events: [{ selector: 's', payload: input.data }] }
}
