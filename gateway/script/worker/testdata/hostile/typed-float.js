// a Float64Array of 2^28 elements, sorted
export default function handle(input) {
  new Float64Array(2 ** 28).sort()
}
