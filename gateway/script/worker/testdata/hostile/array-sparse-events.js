// events with a length of 2^32-1
export default function handle(input) {
  const events = []
  events.length = 4294967295
  return { events }
}
