// a promise that never settles
export default function handle(input) {
  return new Promise(() => {})
}
