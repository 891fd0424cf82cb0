// eval of many megabytes
export default function handle(input) {
  eval('1' + '+1'.repeat(1e7))
}
