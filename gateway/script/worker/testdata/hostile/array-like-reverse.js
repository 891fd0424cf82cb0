// reverse of something 2^53-1 long
export default function handle(input) {
  Array.prototype.reverse.call({ length: 2 ** 53 - 1 })
}
