// padEnd to half a gigabyte
export default function handle(input) {
  return { events: [{ selector: 's', payload: 'x'.padEnd(2 ** 29, 'é') }] }
}
