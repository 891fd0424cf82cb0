// a million rejections that nobody handles
export default function handle(input) {
  for (let i = 0; i < 1e6; i++) Promise.reject(new Error('x' + i))
}
