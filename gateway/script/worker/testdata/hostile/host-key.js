// a public key of a million digits
export default function handle(input) {
  const e = '-----BEGIN PUBLIC KEY-----\n' + 'A'.repeat(1e7) + '\n-----END PUBLIC KEY-----'
  for (;;) { try { crypto.createVerify('sha256').update('x').verify(e, 'AA', 'base64') } catch {} }
}
