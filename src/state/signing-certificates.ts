import type { Insertable, Selectable } from 'kysely'
import type { Db } from './database.ts'
import type { SigningCertificatesTable } from './schema/certificates.ts'

export type SigningCertificate = Selectable<SigningCertificatesTable>

export class SigningCertificateRepository {
  readonly #db: Db

  constructor(db: Db) {
    this.#db = db
  }

  async insert(row: Insertable<SigningCertificatesTable>): Promise<void> {
    await this.#db.insertInto('signingCertificates').values(row).execute()
  }

  /** Oldest first. */
  of(accountId: string): Promise<SigningCertificate[]> {
    return this.#db
      .selectFrom('signingCertificates')
      .selectAll()
      .where('accountId', '=', accountId)
      .orderBy('createdAt')
      .orderBy('id')
      .execute()
  }

  /** False when the account has no such certificate. */
  async setStatus(accountId: string, id: string, status: SigningCertificate['status']): Promise<boolean> {
    const done = await this.#db
      .updateTable('signingCertificates')
      .set({ status })
      .where('accountId', '=', accountId)
      .where('id', '=', id)
      .executeTakeFirst()
    return done.numUpdatedRows > 0n
  }

  /** False when the account has no such certificate. */
  async delete(accountId: string, id: string): Promise<boolean> {
    const done = await this.#db
      .deleteFrom('signingCertificates')
      .where('accountId', '=', accountId)
      .where('id', '=', id)
      .executeTakeFirst()
    return done.numDeletedRows > 0n
  }
}
