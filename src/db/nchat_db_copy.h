/*
 * COPY … TO STDOUT, row by row, in constant memory.
 *
 * A copy takes one connection of the slow lane for as long as it runs, at most
 * half of them all, and speaks the simple protocol there.  Its rows come when
 * they are asked for: whoever cannot take more pauses it, and then nothing is
 * read from the server either, which stops sending.  No time limit counts
 * meanwhile; otherwise a server that sends nothing for the lane's is given up.
 */

#ifndef _NCHAT_DB_COPY_H_INCLUDED_
#define _NCHAT_DB_COPY_H_INCLUDED_


#include "nchat_db.h"


typedef void (*nchat_db_copy_rows_pt)(nchat_db_copy_t *copy);
typedef void (*nchat_db_copy_done_pt)(nchat_db_copy_t *copy,
    nchat_db_status_e status);

typedef enum {
    NCHAT_COPY_BEGIN = 0,     /* until the server begins to copy */
    NCHAT_COPY_ROWS,
    NCHAT_COPY_END,           /* its last word is to come */
    NCHAT_COPY_OVER
} nchat_db_copy_state_e;

struct nchat_db_copy_s {
    nchat_db_op_t          *op;
    nchat_db_conn_t        *conn;      /* NULL: it waits in the queue */
    const char             *sql;

    nchat_db_copy_rows_pt   rows;
    nchat_db_copy_done_pt   done;
    void                   *data;      /* the caller's */

    char                   *row;       /* libpq's */
    nchat_db_copy_state_e   state;

    unsigned                counted:1;
    unsigned                dry:1;     /* libpq has no more rows */
    unsigned                paused:1;
};


/*
 * Makes a copy of the statement sql, one whole COPY … TO STDOUT.  Returns NULL
 * if memory is short.
 */
nchat_db_copy_t *nchat_db_copy(nchat_db_t *db, const ngx_str_t *sql,
    nchat_db_copy_rows_pt rows, nchat_db_copy_done_pt done, void *data);

/*
 * Sends it off.  rows() is called whenever there may be rows, and then
 * done(), exactly once, maybe before this returns, unless the copy is
 * cancelled.  After done() returned, the copy is gone.
 */
void nchat_db_copy_send(nchat_db_copy_t *copy);

/*
 * The next row, as the server sent it, valid until the next call.  NGX_OK, or
 * NGX_AGAIN: rows() or done() will be called.  To be called within rows(), or
 * after nchat_db_copy_resume.
 */
ngx_int_t nchat_db_copy_row(nchat_db_copy_t *copy, ngx_str_t *row);

/* Stops reading from the server; rows() is called again after resume. */
void nchat_db_copy_pause(nchat_db_copy_t *copy);
void nchat_db_copy_resume(nchat_db_copy_t *copy);

/*
 * done() will not be called, and the copy is gone.  One that runs takes its
 * connection with it, which is opened anew.
 */
void nchat_db_copy_cancel(nchat_db_copy_t *copy);


#endif /* _NCHAT_DB_COPY_H_INCLUDED_ */
