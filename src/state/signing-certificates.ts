import type { Insertable, Selectable } from 'kysely'
import type { Db } from './database.ts'
import type { SigningCertificatesTable } from './schema/certificates.ts'

export type SigningCertificate = Selectable<SigningCertificatesTable>

/** Whose a certificate is: a user's, or (null) the account's own. */
export type CertificateOwner = Pick<SigningCertificate, 'accountId' | 'userId'>

export class SigningCertificateRepository {
  readonly #db: Db

  constructor(db: Db) {
    this.#db = db
  }

  async insert(row: Insertable<SigningCertificatesTable>): Promise<void> {
    await this.#db.insertInto('signingCertificates').values(row).execute()
  }

  /** Those of an account and of all its users, oldest first; or those of one user, or (null) of the account itself. */
  of(accountId: string, userId?: string | null): Promise<SigningCertificate[]> {
    let query = this.#db.selectFrom('signingCertificates').selectAll().where('accountId', '=', accountId)
    if (userId !== undefined) query = query.where('userId', 'is not distinct from', userId)
    return query.orderBy('createdAt').orderBy('id').execute()
  }

  /** False when the owner has no such certificate. */
  async setStatus(
    { accountId, userId }: CertificateOwner,
    id: string,
    status: SigningCertificate['status'],
  ): Promise<boolean> {
    const done = await this.#db
      .updateTable('signingCertificates')
      .set({ status })
      .where('accountId', '=', accountId)
      .where('userId', 'is not distinct from', userId)
      .where('id', '=', id)
      .executeTakeFirst()
    return done.numUpdatedRows > 0n
  }

  /** False when the owner has no such certificate. */
  async delete({ accountId, userId }: CertificateOwner, id: string): Promise<boolean> {
    const done = await this.#db
      .deleteFrom('signingCertificates')
      .where('accountId', '=', accountId)
      .where('userId', 'is not distinct from', userId)
      .where('id', '=', id)
      .executeTakeFirst()
    return done.numDeletedRows > 0n
  }
}
