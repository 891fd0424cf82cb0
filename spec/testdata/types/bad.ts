// Each marked line is an error.
export const a: Switchhook.Handle = () => ({ event: [] }) // error
export const b: Switchhook.Handle = () => ({ events: [{ payload: 1 }] }) // error
export const c: Switchhook.Handle = () => ({ events: [{ selector: 5, payload: 1 }] }) // error
export const d: Switchhook.Handle = ({ body }) => ({ events: [] }) // error
export const e: Switchhook.Handle = () => ({ response: { status: '200' } }) // error
export const f: Switchhook.Handshake = () => ({ events: [] }) // error
export const g: Switchhook.Handle = ({ state }) => ({}) // error
export const h: Switchhook.GetEventSelector = () => ({ globalWebhookKey: 'x' }) // error
export const i = () => fetch('https://example.com') // error
export const j = () => process.env.SECRET // error
export const k = () => setTimeout(() => {}, 1) // error
export const l = () => document.cookie // error
export const m: Switchhook.Handle<{ secret: string }> = ({ parameters }) => ({ response: { data: parameters.secrt } }) // error
export const n = () => new HttpError('401', 'x') // error
