// indexOf on something that says it is 2^53-1 long
export default function handle(input) {
  Array.prototype.indexOf.call({ length: 2 ** 53 - 1 }, 1)
}
