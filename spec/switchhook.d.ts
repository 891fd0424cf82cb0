// Types of the functions of Switchhook connectors: what they are called with, what they return, and
// what they can use besides the language. There are no files, no environment, no network and no timers.
//
// The file declares globals only, so it need not be imported: name it in tsconfig.json, with
// "types": [] and a "lib" without "dom", so that nothing seems to be there that is not.
//
//     // handle.ts
//     export default (({ data, headers }) => ({
//       events: [{ selector: `order.${data.type}/${data.shop}`, payload: data, id: headers['x-delivery'] }],
//     })) satisfies Switchhook.Handle
//
//     // handle.js
//     /**
//      * @param {Switchhook.Request} request
//      * @returns {Promise<Switchhook.Result>}
//      */
//     export default async function handle({ data }) { ... }

declare namespace Switchhook {
  /**
   * The function `handle` of a global webhook: makes events of a request, and may answer it. By default
   * the answer is 200 with an empty body.
   *
   * It may throw `new HttpError(status, message)` to answer with that status. Anything else thrown is
   * answered with 500; the request is kept, to be replayed once the function is mended.
   */
  type Handle<P = Parameters, D = any> = (request: Request<P, D>) => Result | void | Promise<Result | void>

  /**
   * The function `handshake` of a global webhook: answers a request by which the provider checks the URL. It
   * is called for the requests that `handshake:` names, before they are verified unless that says
   * `verified: true`, and makes no events.
   */
  type Handshake<P = Parameters, D = any> = (request: HandshakeRequest<P, D>) => HandshakeResult | void | Promise<HandshakeResult | void>

  /** The function `getEventSelector` of an event: which events a subscription with these parameters gets. */
  type GetEventSelector<P = { [name: string]: any }> = (argument: { parameters: P }) => EventSelector | Promise<EventSelector>

  /** The function `getEventConfig` of an event of the kind `connector-event`: which event it is made of. */
  type GetEventConfig<P = { [name: string]: any }> = (argument: { parameters: P }) => EventConfig | Promise<EventConfig>

  /** The function `extractEvents` of such an event: makes its payloads of those of the other event. */
  type ExtractEvents = (argument: { events: any[] }) => { events: any[] } | Promise<{ events: any[] }>

  /**
   * The parameters of an integration, as the connector's `parametersSchema` describes them, defaults filled in.
   * Declarations made from that schema add to this interface.
   */
  interface Parameters {
    [name: string]: any
  }

  /** A request to a webhook URL. */
  interface Request<P = Parameters, D = any> {
    /** The parameters of the query string; one that is repeated is a list. */
    query: { [name: string]: any }
    /**
     * The body, parsed by its Content-Type: JSON, a form or a multipart form (an object), text or XML (a
     * string). Undefined when the body is empty or does not parse. An untouched `data`, or part of it, that becomes a
     * payload is passed on byte for byte.
     */
    data: D
    /** The header fields, by lower-case names. Repeated ones are joined with ", ". */
    headers: { [name: string]: string | undefined }
    /** The parameters of the integration, secrets among them. */
    parameters: P
    /** The body as text. What is not UTF-8 is replaced; `rawBytes` has it all. */
    rawBody: string
    /** The bytes of the body as they came. */
    rawBytes: Uint8Array
    /** "GET", "POST", ... */
    method: string
    /** The whole public URL, as the provider called it. */
    url: string
    /** The path of the URL. */
    path: string
    /** The name of the integration. */
    integration: string
    /** The name of the workspace. */
    workspace: string
    /** When the request came, such as "2026-01-02T03:04:05.678Z". */
    receivedAt: string
  }

  interface HandshakeRequest<P = Parameters, D = any> extends Request<P, D> {
    /** What the integration remembers. */
    state: { [name: string]: string | undefined }
  }

  /** What `handle` returns. Both parts are optional. */
  interface Result {
    events?: Event[] | null
    response?: Response | null
  }

  /** An event, to be delivered to each subscription whose selector and filter match. */
  interface Event {
    /** How subscriptions find the event, such as "push/octocat/Hello-World": the type first, then its scope. Not empty. */
    selector: string
    /**
     * What is delivered, as JSON; `null` for an event without a payload. An untouched part of `data`, or of what
     * JSON.parse made, is passed on as it stood in the text, large integers included.
     */
    payload: any
    /** Names the event for good, such as the provider's delivery id: the same id of the same webhook is delivered once. */
    id?: string | null
    /** The type of the event, for people and for CloudEvents. */
    type?: string | null
  }

  /** What the provider is answered. */
  interface Response {
    /** 200 to 599. Default: 200. */
    status?: number | null
    headers?: { [name: string]: string } | null
    /**
     * The body. Strings and bytes are sent as they are; anything else by the Content-Type of `headers`: as a form when
     * that says so, otherwise as JSON.
     */
    data?: any
  }

  /** What `handshake` returns. */
  interface HandshakeResult {
    response?: Response | null
    /** Values to keep for good, by name, such as a secret that the provider has sent; `verify:` names them as state.NAME. */
    remember?: { [name: string]: string } | null
  }

  /** What `getEventConfig` returns. */
  interface EventConfig {
    /** The key of another event of the connector. */
    eventKey: string
    /** What that event's parametersSchema asks for. */
    eventParameters?: { [name: string]: any } | null
  }

  /** What `getEventSelector` returns. */
  interface EventSelector {
    /** The key of the global webhook. */
    globalWebhookKey: string
    /** The selector of the events, in which * and ** are wildcards. */
    globalWebhookEventSelector: string
  }

  /** Bytes, or text that stands for its bytes in UTF-8. */
  type Bytes = string | ArrayBuffer | ArrayBufferView

  type Encoding = 'utf8' | 'utf-8' | 'hex' | 'base64' | 'base64url' | 'latin1' | 'binary' | 'ascii' | 'utf16le' | 'utf-16le' | 'ucs2' | 'ucs-2'
}

/** Thrown by `handle` or `handshake`, answers the request with a status from 400 to 599 and the message. */
declare class HttpError extends Error {
  constructor(status: number, message?: string)
  readonly status: number
}

/** What is printed is kept with the request. */
declare const console: {
  log(...values: unknown[]): void
  info(...values: unknown[]): void
  debug(...values: unknown[]): void
  warn(...values: unknown[]): void
  error(...values: unknown[]): void
}

declare function atob(text: string): string
declare function btoa(text: string): string
declare function structuredClone<T>(value: T): T

declare class DOMException extends Error {
  constructor(message?: string, name?: string)
  readonly code: number
}

declare class TextEncoder {
  readonly encoding: string
  encode(text?: string): Uint8Array
  encodeInto(text: string, into: Uint8Array): { read: number; written: number }
}

declare class TextDecoder {
  constructor(label?: string, options?: { fatal?: boolean; ignoreBOM?: boolean })
  readonly encoding: string
  readonly fatal: boolean
  readonly ignoreBOM: boolean
  decode(bytes?: ArrayBuffer | ArrayBufferView): string
}

declare class URL {
  constructor(url: string | URL, base?: string | URL)
  static canParse(url: string | URL, base?: string | URL): boolean
  href: string
  readonly origin: string
  protocol: string
  username: string
  password: string
  host: string
  hostname: string
  port: string
  pathname: string
  search: string
  readonly searchParams: URLSearchParams
  hash: string
  toString(): string
  toJSON(): string
}

declare class URLSearchParams implements Iterable<[string, string]> {
  constructor(init?: string | Iterable<[string, string]> | { [name: string]: string } | URLSearchParams)
  readonly size: number
  append(name: string, value: string): void
  delete(name: string, value?: string): void
  get(name: string): string | null
  getAll(name: string): string[]
  has(name: string, value?: string): boolean
  set(name: string, value: string): void
  sort(): void
  forEach(callback: (value: string, name: string, params: URLSearchParams) => void): void
  keys(): IterableIterator<string>
  values(): IterableIterator<string>
  entries(): IterableIterator<[string, string]>
  [Symbol.iterator](): IterableIterator<[string, string]>
  toString(): string
}

/** The part of Node's Buffer that is there. */
interface Buffer extends Uint8Array {
  toString(encoding?: Switchhook.Encoding, start?: number, end?: number): string
  toJSON(): { type: 'Buffer'; data: number[] }
  equals(other: Uint8Array): boolean
  compare(other: Uint8Array): -1 | 0 | 1
  copy(target: Uint8Array, targetStart?: number, start?: number, end?: number): number
  slice(start?: number, end?: number): any
  subarray(start?: number, end?: number): any
  fill(value: string | number | Uint8Array, start?: number, end?: number, encoding?: Switchhook.Encoding): this
  indexOf(value: any, start?: number, encoding?: Switchhook.Encoding): number
  lastIndexOf(value: any, start?: number, encoding?: Switchhook.Encoding): number
  includes(value: any, start?: number, encoding?: Switchhook.Encoding): boolean
  swap16(): this
  swap32(): this
  swap64(): this
  write(text: string, encoding?: Switchhook.Encoding): number
  write(text: string, offset: number, encoding?: Switchhook.Encoding): number
  write(text: string, offset: number, length: number, encoding?: Switchhook.Encoding): number
  readUInt8(offset?: number): number
  readInt8(offset?: number): number
  readUInt16BE(offset?: number): number
  readUInt16LE(offset?: number): number
  readInt16BE(offset?: number): number
  readInt16LE(offset?: number): number
  readUInt32BE(offset?: number): number
  readUInt32LE(offset?: number): number
  readInt32BE(offset?: number): number
  readInt32LE(offset?: number): number
  readUIntBE(offset: number, bytes: number): number
  readBigUInt64BE(offset?: number): bigint
  readUIntLE(offset: number, bytes: number): number
  readBigUInt64LE(offset?: number): bigint
  readIntBE(offset: number, bytes: number): number
  readBigInt64BE(offset?: number): bigint
  readIntLE(offset: number, bytes: number): number
  readBigInt64LE(offset?: number): bigint
  readFloatBE(offset?: number): number
  readFloatLE(offset?: number): number
  readDoubleBE(offset?: number): number
  readDoubleLE(offset?: number): number
  writeUInt8(value: number, offset?: number): number
  writeInt8(value: number, offset?: number): number
  writeUInt16BE(value: number, offset?: number): number
  writeUInt16LE(value: number, offset?: number): number
  writeInt16BE(value: number, offset?: number): number
  writeInt16LE(value: number, offset?: number): number
  writeUInt32BE(value: number, offset?: number): number
  writeUInt32LE(value: number, offset?: number): number
  writeInt32BE(value: number, offset?: number): number
  writeInt32LE(value: number, offset?: number): number
  writeUIntBE(value: number, offset: number, bytes: number): number
  writeBigUInt64BE(value: bigint, offset?: number): number
  writeUIntLE(value: number, offset: number, bytes: number): number
  writeBigUInt64LE(value: bigint, offset?: number): number
  writeIntBE(value: number, offset: number, bytes: number): number
  writeBigInt64BE(value: bigint, offset?: number): number
  writeIntLE(value: number, offset: number, bytes: number): number
  writeBigInt64LE(value: bigint, offset?: number): number
  writeFloatBE(value: number, offset?: number): number
  writeFloatLE(value: number, offset?: number): number
  writeDoubleBE(value: number, offset?: number): number
  writeDoubleLE(value: number, offset?: number): number
}

interface BufferConstructor {
  from(text: string, encoding?: Switchhook.Encoding): Buffer
  from(bytes: Uint8Array | ArrayBuffer | readonly number[], offset?: number, length?: number): Buffer
  of(...bytes: number[]): Buffer
  allocUnsafe(size: number): Buffer
  alloc(size: number, fill?: string | number | Uint8Array, encoding?: Switchhook.Encoding): Buffer
  concat(list: readonly Uint8Array[], length?: number): Buffer
  byteLength(value: Switchhook.Bytes, encoding?: Switchhook.Encoding): number
  compare(a: Uint8Array, b: Uint8Array): -1 | 0 | 1
  isBuffer(value: unknown): value is Buffer
  isEncoding(name: string): name is Switchhook.Encoding
  readonly prototype: Buffer
}

declare const Buffer: BufferConstructor

declare namespace Switchhook {
  /** The part of Node's crypto that is there. All of it is synchronous. */
  interface Crypto {
    /** A hash by its name, such as sha256; `getHashes()` lists them. */
    createHash(algorithm: string): Hash
    createHmac(algorithm: string, key: Bytes | KeyObject): Hash
    hash(algorithm: string, data: Bytes, encoding?: 'hex' | Encoding): string
    hash(algorithm: string, data: Bytes, encoding: 'buffer'): Buffer
    getHashes(): string[]
    /** Compares bytes of the same length, in constant time; of different lengths it throws. */
    timingSafeEqual(a: ArrayBuffer | ArrayBufferView, b: ArrayBuffer | ArrayBufferView): boolean
    randomBytes(size: number): Buffer
    randomFillSync<T extends ArrayBufferView>(into: T, offset?: number, size?: number): T
    randomInt(max: number): number
    randomInt(min: number, max: number): number
    randomUUID(): string
    getRandomValues<T extends ArrayBufferView>(into: T): T
    /** Makes RSA and ECDSA signatures of what is given to `update`. */
    createSign(algorithm: string): Sign
    /** Checks RSA and ECDSA signatures of what is given to `update`. */
    createVerify(algorithm: string): Verify
    /** Signs; algorithm is null for Ed25519. */
    sign(algorithm: string | null | undefined, data: Bytes, key: Key): Buffer
    /** Checks a signature; algorithm is null for Ed25519. */
    verify(algorithm: string | null | undefined, data: Bytes, key: Key, signature: ArrayBuffer | ArrayBufferView): boolean
    /** Reads a public key: PEM, DER or JWK. A certificate or a private key in PEM stands for its public key. */
    createPublicKey(key: Key): KeyObject
    createPrivateKey(key: Key): KeyObject
    createSecretKey(key: Bytes, encoding?: Encoding): KeyObject
    /** AES in the modes CBC and GCM; `getCiphers()` lists them. */
    createCipheriv(algorithm: string, key: Bytes | KeyObject, iv: Bytes, options?: { authTagLength?: number }): Cipher
    createDecipheriv(algorithm: string, key: Bytes | KeyObject, iv: Bytes, options?: { authTagLength?: number }): Decipher
    getCiphers(): string[]
    getCurves(): string[]
    privateDecrypt(key: Key, data: ArrayBuffer | ArrayBufferView): Buffer
    publicEncrypt(key: Key, data: Bytes): Buffer
    readonly KeyObject: { readonly prototype: KeyObject }
    readonly X509Certificate: { new (certificate: Bytes): X509Certificate; readonly prototype: X509Certificate }
    readonly constants: { readonly [name: string]: number }
  }

  interface Hash {
    update(data: Bytes, encoding?: Encoding): this
    digest(): Buffer
    digest(encoding: Encoding): string
  }

  interface Sign {
    update(data: Bytes, encoding?: Encoding): this
    sign(key: Key): Buffer
    sign(key: Key, encoding: Encoding): string
  }

  interface Verify {
    update(data: Bytes, encoding?: Encoding): this
    verify(key: Key, signature: string, encoding: Encoding): boolean
    verify(key: Key, signature: ArrayBuffer | ArrayBufferView): boolean
  }

  interface Cipher {
    update(data: Bytes, inputEncoding: Encoding | undefined, outputEncoding: Encoding): string
    update(data: Bytes, inputEncoding?: Encoding): Buffer
    final(): Buffer
    final(encoding: Encoding): string
    setAutoPadding(on?: boolean): this
    setAAD(data: Bytes): this
    getAuthTag(): Buffer
  }

  interface Decipher extends Omit<Cipher, 'getAuthTag'> {
    setAuthTag(tag: Bytes): this
  }

  interface KeyObject {
    readonly type: 'public' | 'secret' | 'private'
    readonly asymmetricKeyType?: string
    readonly asymmetricKeyDetails?: { [name: string]: any }
    readonly symmetricKeySize?: number
    export(options?: { format?: 'pem' | 'der' | 'jwk'; type?: 'spki' | 'pkcs1' | 'pkcs8' | 'sec1' }): any
    equals(other: KeyObject): boolean
  }

  interface X509Certificate {
    readonly subject: string | undefined
    readonly issuer: string | undefined
    readonly subjectAltName: string | undefined
    readonly infoAccess: string | undefined
    readonly validFrom: string
    readonly validTo: string
    readonly serialNumber: string
    readonly fingerprint: string
    readonly fingerprint256: string
    readonly fingerprint512: string
    readonly ca: boolean
    readonly raw: Buffer
    readonly keyUsage: string[] | undefined
    readonly publicKey: KeyObject
    checkHost(name: string): string | undefined
    checkEmail(address: string): string | undefined
    checkIP(address: string): string | undefined
    checkIssued(issuer: X509Certificate): boolean
    checkPrivateKey(key: KeyObject): boolean
    /** Whether the certificate was signed with this key; it says nothing about validity in time. */
    verify(key: KeyObject): boolean
    toString(): string
  }

  type Key = Bytes | KeyObject | {
    key: Bytes | KeyObject | { [name: string]: any }
    format?: 'pem' | 'der' | 'jwk'
    type?: 'spki' | 'pkcs1' | 'pkcs8' | 'sec1'
    dsaEncoding?: 'der' | 'ieee-p1363'
    encoding?: Encoding
    padding?: number
    saltLength?: number
    oaepHash?: string
  }
}

declare const crypto: Switchhook.Crypto

declare module 'crypto' {
  const all: Switchhook.Crypto
  export default all
  export const createHash: Switchhook.Crypto['createHash']
  export const createHmac: Switchhook.Crypto['createHmac']
  export const hash: Switchhook.Crypto['hash']
  export const getHashes: Switchhook.Crypto['getHashes']
  export const timingSafeEqual: Switchhook.Crypto['timingSafeEqual']
  export const randomBytes: Switchhook.Crypto['randomBytes']
  export const randomFillSync: Switchhook.Crypto['randomFillSync']
  export const randomInt: Switchhook.Crypto['randomInt']
  export const randomUUID: Switchhook.Crypto['randomUUID']
  export const getRandomValues: Switchhook.Crypto['getRandomValues']
  export const createSign: Switchhook.Crypto['createSign']
  export const createVerify: Switchhook.Crypto['createVerify']
  export const sign: Switchhook.Crypto['sign']
  export const verify: Switchhook.Crypto['verify']
  export const createPublicKey: Switchhook.Crypto['createPublicKey']
  export const createPrivateKey: Switchhook.Crypto['createPrivateKey']
  export const createSecretKey: Switchhook.Crypto['createSecretKey']
  export const createCipheriv: Switchhook.Crypto['createCipheriv']
  export const createDecipheriv: Switchhook.Crypto['createDecipheriv']
  export const getCiphers: Switchhook.Crypto['getCiphers']
  export const getCurves: Switchhook.Crypto['getCurves']
  export const privateDecrypt: Switchhook.Crypto['privateDecrypt']
  export const publicEncrypt: Switchhook.Crypto['publicEncrypt']
  export const KeyObject: Switchhook.Crypto['KeyObject']
  export const X509Certificate: Switchhook.Crypto['X509Certificate']
  export const constants: Switchhook.Crypto['constants']
}

declare module 'node:crypto' {
  export * from 'crypto'
  export { default } from 'crypto'
}

declare module 'buffer' {
  const B: BufferConstructor
  export { B as Buffer }
}

declare module 'node:buffer' {
  export * from 'buffer'
}

declare module 'url' {
  const U: typeof URL
  const P: typeof URLSearchParams
  export { U as URL, P as URLSearchParams }
}

declare module 'node:url' {
  export * from 'url'
}

/** CommonJS is understood too: `module.exports = handle`, or `exports.handle = handle`. */
declare const module: { exports: any }
declare const exports: any
declare function require(name: 'crypto' | 'node:crypto'): Switchhook.Crypto
declare function require(name: 'buffer' | 'node:buffer'): { Buffer: BufferConstructor }
declare function require(name: 'url' | 'node:url'): { URL: typeof URL; URLSearchParams: typeof URLSearchParams }
declare function require(name: string): any
