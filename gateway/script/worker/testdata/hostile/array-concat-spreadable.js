// concat of what says that it spreads
export default function handle(input) {
  return [].concat({ length: 2 ** 32 - 1, [Symbol.isConcatSpreadable]: true })
}
