/** Logs of a server. */
import type { LogDescription } from '../engine/log-description.ts'
import type { Remote } from './remote.ts'

/** What a server says of a log. */
export interface RemoteLog extends LogDescription {
  readonly ranges: readonly {
    readonly partition: number
    readonly startOffset: number
    readonly endOffset: number
  }[]
}

export function logPath(name: string): string {
  return `/v1/logs/${encodeURIComponent(name)}`
}

export async function remoteLog(remote: Remote, name: string): Promise<RemoteLog> {
  return await remote.json<RemoteLog>(logPath(name))
}

export async function remoteLogs(remote: Remote): Promise<readonly LogDescription[]> {
  const logs: LogDescription[] = []
  for (let after: string | null = ''; after !== null;) {
    const page: { readonly logs: readonly RemoteLog[]; readonly next: string | null } =
      await remote.json('/v1/logs', { parameters: { after } })
    logs.push(...page.logs.map(descriptionOf))
    after = page.next
  }
  return logs
}

/** Without what a server says beside the description. */
export function descriptionOf({ ranges: _ranges, ...description }: RemoteLog): LogDescription {
  return description
}
