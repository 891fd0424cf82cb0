// an empty loop
export default function handle(input) {
  for (;;);
}
