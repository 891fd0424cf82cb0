import { parse } from 'xml'

// https://developer.salesforce.com/docs/platform/api/guide/sforce-api-om-outboundmessaging-wsdl.html
export default function handle({ data, parameters }) {
  const message = notifications(data)
  const organization = message.OrganizationId
  if (parameters.organizationId) {
    // Ids are written with 15 characters or, the same and three to check them, with 18.
    const short = (id) => String(id).slice(0, 15)
    if (![].concat(parameters.organizationId).some((id) => short(id) === short(organization))) {
      throw new HttpError(403, 'the message is of another organization')
    }
  }
  // The session id, which lets whoever has it act as a user, is not passed on.
  const { SessionId, Notification, ...common } = message
  return {
    events: [].concat(Notification).map((one) => {
      if (!one?.Id || !one.sObject?.type) throw new HttpError(400, 'a notification has no Id, or no sObject')
      return {
        id: one.Id,
        type: one.sObject.type,
        selector: [one.sObject.type, organization, message.ActionId].join('/'),
        payload: { ...common, Notification: one },
      }
    }),
    response: { headers: { 'Content-Type': 'text/xml; charset=utf-8' }, data: acknowledgement },
  }
}

function notifications(text) {
  if (typeof text !== 'string') throw new HttpError(400, 'the body is not XML')
  const message = parse(text)?.Envelope?.Body?.notifications
  if (!message?.OrganizationId || !message.ActionId) throw new HttpError(400, 'the body is not an outbound message of Salesforce')
  return message
}

const acknowledgement =
  '<?xml version="1.0" encoding="UTF-8"?>' +
  '<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><soapenv:Body>' +
  '<notificationsResponse xmlns="http://soap.sforce.com/2005/09/outbound"><Ack>true</Ack></notificationsResponse>' +
  '</soapenv:Body></soapenv:Envelope>'
