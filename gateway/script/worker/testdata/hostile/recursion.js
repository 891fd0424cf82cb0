// functions that call one another
export default function handle(input) {
  const a = () => b(), b = () => a()
  a()
}
