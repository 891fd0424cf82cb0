// fill of 2^32-1 elements
export default function handle(input) {
  new Array(4294967295).fill(0)
}
