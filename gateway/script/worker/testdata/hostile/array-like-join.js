// join of something 2^53-1 long
export default function handle(input) {
  Array.prototype.join.call({ length: 2 ** 53 - 1 })
}
