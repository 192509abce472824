/** `token create|list|revoke`: who may use a server, and for what. */
import { StratalogError, isStratalogError } from '../../base/errors.ts'
import { type Duration, parseDuration } from '../../base/units.ts'
import { SCOPES, type Scope } from '../../server/rights.ts'
import { type StoredToken, mintToken } from '../../server/tokens.ts'
import { renderTable } from '../output/table.ts'
import { type Session, note, writeDocument } from '../session.ts'
import { storedTokens, writeTokenFile } from '../token-file.ts'

interface TokenFlags {
  readonly tokens: string
}

export interface CreateTokenFlags extends TokenFlags {
  readonly name: string
  readonly scopes: readonly string[]
  readonly logs: string
  readonly expires?: Duration
}

export async function createToken(session: Session, flags: CreateTokenFlags): Promise<void> {
  const known = await knownTokens(flags.tokens)
  if (known.some(({ name }) => name === flags.name))
    throw new StratalogError('argument_invalid', `There is a token '${flags.name}' already.`)
  const now = session.clock.now()
  const { stored, token } = mintToken({
    name: flags.name,
    scopes: flags.scopes.map(scopeOf),
    logs: flags.logs,
    createdAt: new Date(now).toISOString(),
    expiresAt:
      flags.expires === undefined
        ? null
        : new Date(now + parseDuration(flags.expires, '--expires')).toISOString(),
  })
  await writeTokenFile(flags.tokens, [...known, stored])
  if (session.json) await writeDocument(session, { ...shownOf(stored), token })
  else await session.terminal.write(`${token}\n`)
  note(session, 'It is not shown again; the file has a digest of it only.')
}

export async function listTokens(session: Session, { tokens }: TokenFlags): Promise<void> {
  const known = await storedTokens(tokens)
  if (session.json) {
    await writeDocument(session, known.map(shownOf))
    return
  }
  const columns = ['id', 'name', 'scopes', 'logs', 'expires'].map((name) => ({ name }))
  const rows = known.map(({ id, name, scopes, logs, expiresAt }) => [
    id,
    name,
    scopes.join(', '),
    logs === '' ? 'all' : `${logs}…`,
    expiresAt ?? 'never',
  ])
  await session.terminal.write(renderTable(columns, rows))
}

export async function revokeToken(
  session: Session,
  idOrName: string,
  { tokens }: TokenFlags,
): Promise<void> {
  const known = await storedTokens(tokens)
  const revoked = known.find(({ id, name }) => id === idOrName || name === idOrName)
  if (revoked === undefined) {
    throw new StratalogError('argument_invalid', `There is no token '${idOrName}'.`, {
      details: { token: idOrName },
    })
  }
  await writeTokenFile(
    tokens,
    known.filter((token) => token !== revoked),
  )
  if (session.json) await writeDocument(session, shownOf(revoked))
  else await session.terminal.write(`Revoked ${revoked.name}.\n`)
}

/** The first token makes the file. */
async function knownTokens(path: string): Promise<readonly StoredToken[]> {
  try {
    return await storedTokens(path)
  } catch (error) {
    const { cause } = error as { readonly cause?: { readonly code?: string } }
    if (isStratalogError(error) && error.code === 'file_not_found' && cause?.code === 'ENOENT')
      return []
    throw error
  }
}

function scopeOf(text: string): Scope {
  const scope = SCOPES.find((known) => known === text)
  if (scope !== undefined) return scope
  throw new StratalogError(
    'argument_invalid',
    `A scope is one of ${SCOPES.join(', ')}; got ${JSON.stringify(text)}.`,
  )
}

function shownOf({ digest: _digest, ...shown }: StoredToken): Omit<StoredToken, 'digest'> {
  return shown
}
