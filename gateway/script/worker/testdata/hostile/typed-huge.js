// an ArrayBuffer of 8 GB
export default function handle(input) {
  new ArrayBuffer(8e9)
}
