// conversion to a string that converts itself
export default function handle(input) {
  const o = { toString() { return '' + o } }
  return '' + o
}
