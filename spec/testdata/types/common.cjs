const { createHash } = require('crypto')

/** @type {Switchhook.Handle} */
module.exports = ({ rawBody }) => ({ response: { data: createHash('sha256').update(rawBody).digest('hex') } })
