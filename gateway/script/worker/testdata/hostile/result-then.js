// a then that hangs
export default function handle(input) {
  return { then() { for (;;); } }
}
