// Array.from something 2^32-1 long
export default function handle(input) {
  return Array.from({ length: 2 ** 32 - 1 })
}
