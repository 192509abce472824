/** Uses an engine in RAM as the README does, and prints which modules that loaded, as JSON. */
import { registerHooks } from 'node:module'

const loaded: string[] = []
registerHooks({
  load: (url, context, nextLoad) => {
    loaded.push(url)
    return nextLoad(url, context)
  },
})
const { Stratalog } = await import('../../src/index.ts')
const db = await Stratalog.memoryOnly()
const clicks = await db.createLog('clicks')
await clicks.append({ user_id: 7, event: 'view' })
await clicks.append([{ user_id: 8, event: 'pay' }])
const rows = await clicks.read().toArray()
const row = await clicks.get(1)
const { logs } = db.status()
await db.close()
process.stdout.write(JSON.stringify({ loaded, seen: [rows.length, row?.['user_id'], logs.length] }))
