// printing without end
export default function handle(input) {
  for (;;) console.log('x'.repeat(1000))
}
