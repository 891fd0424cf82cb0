// ten million events
export default function handle(input) {
  return { events: new Array(1e7).fill({ selector: 's', payload: 1 }) }
}
