// A notification groups alerts; each is one event. They have no id: the same
// alert is repeated on purpose, as long as it fires.
export default function handle({ data }) {
  if (!Array.isArray(data?.alerts)) throw new HttpError(400, 'the body has no alerts')
  return {
    events: data.alerts.map((alert) => {
      const type = alert.status ?? data.status
      const place = [alert.labels?.grafana_folder, alert.labels?.alertname].filter(Boolean).join('/') || '-'
      return { type, selector: `${type}/${place}`, payload: alert }
    }),
  }
}
