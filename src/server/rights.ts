/** What whoever sent a request may know of, and do to, the logs of the engine. */

export const SCOPES = ['read', 'append', 'sql', 'admin'] as const

/** What a token allows. */
export type Scope = (typeof SCOPES)[number]

export interface Rights {
  /** What the names of its logs begin with; the empty text is all of them, and the engine itself. */
  readonly logs: string
  readonly scopes: readonly Scope[]
}

/** `log` is null for what is about the whole engine; the log need not be there. */
export function allows({ logs, scopes }: Rights, scope: Scope, log: string | null): boolean {
  return (logs === '' || log?.startsWith(logs) === true) && scopes.includes(scope)
}

/** Of everybody, where no token is needed. */
export const ALL_RIGHTS: Rights = { logs: '', scopes: SCOPES }
