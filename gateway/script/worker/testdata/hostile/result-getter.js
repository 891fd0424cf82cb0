// a getter on the result that hangs
export default function handle(input) {
  return { get events() { for (;;); } }
}
